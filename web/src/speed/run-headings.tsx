import type { RunRecord } from "../run/run-record.ts";

/** The head of a table with a column for each run. first: the heading of its rows. */
export function RunHeadings({
  first,
  runs,
}: {
  readonly first: string;
  readonly runs: readonly RunRecord[];
}) {
  return (
    <thead>
      <tr>
        <th scope="col">{first}</th>
        {runs.map(({ attention }, i) => (
          <th scope="col" key={i}>
            {attention}
          </th>
        ))}
      </tr>
    </thead>
  );
}
