/** CITATION.cff names this version, and the paper of the method. `cffconvert --validate` checks the whole format. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { repositoryPath } from "../golden/open-fixture.ts";

it("CITATION.cff has the keys that the format asks for, package.json's version and licence, and the paper", () => {
  const citation = parse(readFileSync(repositoryPath("CITATION.cff"), "utf8"));
  const { name, version, license } = JSON.parse(readFileSync(repositoryPath("package.json"), "utf8"));
  expect(citation).toMatchObject({
    "cff-version": "1.2.0",
    message: expect.any(String),
    type: "software",
    title: name,
    version,
    license,
  });
  expect(citation.authors.length).toBeGreaterThan(0);
  expect(citation.references).toEqual([
    expect.objectContaining({
      type: "article",
      doi: "10.48550/arXiv.2508.07101",
      url: "https://arxiv.org/abs/2508.07101",
      year: 2025,
    }),
  ]);
  for (const author of citation.references[0].authors) expect(author).toHaveProperty("family-names");
});
