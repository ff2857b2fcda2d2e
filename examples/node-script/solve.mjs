// node solve.mjs [MODEL]
// MODEL: a folder, a GGUF file or a model of the Hugging Face hub, such as Qwen/Qwen3-1.7B; left out, the bundled model.
import { lessIsMore, openEngine } from "lessismore";

const [, , model] = process.argv;
const engine = await openEngine({ ...(model && { model }), attention: lessIsMore({ tokenBudget: 256 }) });

const messages = [{ role: "user", content: "Find qw. Arithmetic is modulo 100.\nio=26\nqw=io+7" }];
const generation = engine.generate({ messages });
// Parts come as the model writes them: first the reasoning, then the answer.
for await (const { kind, text } of generation) if (kind === "reasoning") process.stdout.write(text);

const { answer, usage, attention } = await generation.result();
const attended = (attention.attendedFraction * 100).toFixed(0);
console.log(`\n\n${answer}\n${usage.completionTokens} tokens, ${attended} % of the cache attended`);
await engine.close();
