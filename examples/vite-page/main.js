import { openEngineInWorker } from "lessismore/worker";

const show = (id, text) => document.getElementById(id)?.append(text);

try {
  // The engine has a thread of its own, so that the page stays responsive. The model is a folder of this site.
  const engine = await openEngineInWorker({
    model: `${import.meta.env.BASE_URL}models/pico-reasoner`,
    attention: "less-is-more:budget=256,layers=2+7",
  });
  const messages = [{ role: "user", content: "Find qw. Arithmetic is modulo 100.\nio=26\nqw=io+7" }];
  for await (const part of engine.generate({ messages })) show(part.kind, part.text);
  document.getElementById("state").textContent = `done on ${engine.report().backend.name}`;
  await engine.close();
} catch (error) {
  // Messages say what was expected, what came and what to do.
  document.getElementById("state").textContent = String(error);
}
