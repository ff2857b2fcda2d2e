import { expect, test } from "vitest";
import { reportRevision } from "./machine.ts";

const clean = { commit: "0123456789ab", isDirty: false };
const dirty = { ...clean, isDirty: true };
const none = { commit: "unknown", isDirty: false };

test("a report is of one commit: that of a clean checkout, or the one named where there is none", () => {
  expect(reportRevision(clean, {})).toEqual(clean);
  expect(reportRevision(clean, { commit: "0123456" })).toEqual(clean);
  expect(reportRevision(clean, { commit: `${clean.commit}cdef` })).toEqual(clean);
  expect(reportRevision(none, { commit: "fedcba9" })).toEqual({ commit: "fedcba9", isDirty: false });
  expect(reportRevision(dirty, { allowDirty: true })).toEqual(dirty);
});

test.each([
  ["a tree with changes", dirty, {}, "give --allow-dirty, which marks the JSON"],
  ["no checkout and no name", none, {}, "give --commit HASH"],
  ["no checkout, though dirt is allowed", none, { allowDirty: true }, "give --commit HASH"],
  ["another commit", clean, { commit: "fedcba9" }, "is not the commit that is checked out, 0123456789ab"],
])("refuses %s", (_, checkedOut, options, message) => {
  expect(() => reportRevision(checkedOut, options)).toThrow(message);
});
