import type { AssistantMessage } from "../conversations/conversation.ts";
import { texts } from "../texts.ts";

/** What a run cost, in one line. */
export function Figures({ message }: { readonly message: AssistantMessage }) {
  const { figures, settings } = message;
  if (!figures) return null;
  const words = texts.message.figures;
  return (
    <p class="figures">
      <span>{words.tokens(figures.tokens)}</span>
      {figures.msPerToken > 0 && <span>{words.speed(figures.msPerToken)}</span>}
      <span>{words.attended(figures.attendedFraction)}</span>
      <span>{settings.attention}</span>
      <span>{texts.engine.backendOf(figures.backend)}</span>
      {figures.finishReason === "length" && <span class="badge wrong">{texts.message.lengthReached}</span>}
    </p>
  );
}
