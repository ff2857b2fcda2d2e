import { useEffect, useState } from "preact/hooks";
import type { RunRecord } from "./run-record.ts";

/**
 * Renders a component again after changes of a record, at most once per `pauseMs`, so that elements cost little while tokens come.
 * A record that ends renders at once.
 */
export function useRecord(record: RunRecord | undefined, pauseMs = 250): void {
  const [, setVersion] = useState(0);
  useEffect(() => {
    if (!record) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const render = () => {
      clearTimeout(timer);
      timer = undefined;
      setVersion(record.version);
    };
    const end = record.subscribe(() => {
      if (record.state !== "running") render();
      else timer ??= setTimeout(render, pauseMs);
    });
    render();
    return () => {
      end();
      clearTimeout(timer);
    };
  }, [record, pauseMs]);
}
