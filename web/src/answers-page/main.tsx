/** An answer alone, for work on its Markdown and for tests: `streamAnswer` shows one as it comes. */
import { signal } from "@preact/signals";
import { render } from "preact";
import { AnswerText } from "../markdown/answer-text.tsx";
import "../style/index.css";
import "./under-test.ts";

const text = signal("");
const isStreaming = signal(false);

function Answer() {
  return (
    <>
      <h1>An answer</h1>
      <AnswerText text={text.value} isStreaming={isStreaming.value} />
    </>
  );
}

const app = document.getElementById("app");
if (app) render(<Answer />, app);

const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

globalThis.streamAnswer = async (whole, charactersPerFrame) => {
  isStreaming.value = true;
  for (let length = 0; length < whole.length; length += charactersPerFrame) {
    text.value = whole.slice(0, length);
    await frame();
  }
  text.value = whole;
  isStreaming.value = false;
  await frame();
};
