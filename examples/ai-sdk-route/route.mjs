// A route for frameworks whose handlers take a Request and return a Response, such as Next.js (app/api/chat/route.js).
// `useChat` of the AI SDK is its client.
import { convertToModelMessages, streamText } from "ai";
import { createLessIsMore } from "lessismore/ai-sdk";
import { openEngineInWorker } from "lessismore/worker";

const engine = await openEngineInWorker({ attention: "less-is-more:budget=256" }); // one for all requests
const lessismore = createLessIsMore({ engine });

export async function POST(request) {
  const { messages } = await request.json();
  const result = streamText({
    model: lessismore(),
    messages: await convertToModelMessages(messages),
    abortSignal: request.signal, // a client that leaves ends the request
  });
  return result.toUIMessageStreamResponse({ sendReasoning: true });
}

/** Ends the engine and its thread. */
export const close = () => engine.close();
