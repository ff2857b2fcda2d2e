import { engines } from "../page-state.ts";
import { texts } from "../texts.ts";

/** One line on the state of the engine, and what to do if it did not open. */
export function EngineLine() {
  const { value: state } = engines.state;
  const name = engines.wanted?.model.name ?? "";
  switch (state.phase) {
    case "closed":
      return <Line dot="" text={texts.engine.closed} />;
    case "opening": {
      const { download } = state;
      const text = state.isAgain ? texts.engine.reopening : texts.engine.opening(name);
      return (
        <>
          <Line dot="busy" text={download ? `${text} ${texts.engine.download(download)}` : text} />
          {download && download.totalBytes > 0 && (
            <progress aria-label={text} max={download.totalBytes} value={download.doneBytes} />
          )}
        </>
      );
    }
    case "ready": {
      const { name: backend, description, why } = state.report.backend;
      return (
        <Line
          dot="ready"
          text={texts.engine.ready(texts.engine.backendOf(backend))}
          title={texts.engine.why(description, why)}
        />
      );
    }
    case "failed":
      return (
        <>
          <Line dot="failed" text={texts.engine.failed} />
          <button type="button" onClick={() => void engines.ready().catch(() => {})}>
            {texts.engine.retry}
          </button>
        </>
      );
  }
}

function Line({
  dot,
  text,
  title,
}: {
  readonly dot: string;
  readonly text: string;
  readonly title?: string;
}) {
  return (
    <>
      <span class={`dot ${dot}`} aria-hidden="true" />
      <span class={`engine-line ${dot}`} role="status" title={title}>
        {text}
      </span>
    </>
  );
}
