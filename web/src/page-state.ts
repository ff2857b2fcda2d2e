/** The page's parts, made once. */
import { signal } from "@preact/signals";
import { specOf } from "./chat/attention-choice.ts";
import { Chat } from "./chat/chat.ts";
import type { RunSettings } from "./conversations/conversation.ts";
import { EngineHost } from "./engine/engine-host.ts";
import { BUNDLED, type ModelChoice } from "./models/model-choice.ts";
import { settings } from "./settings.ts";

export const engines = new EngineHost();
export const chat = new Chat(engines);
export const model = signal<ModelChoice>(BUNDLED);
/** Why conversations are not kept. */
export const storageFault = signal<string | undefined>(undefined);
/** A failure that no other place shows. */
export const pageFault = signal<string | undefined>(undefined);

/** Opens a model, or the one in use on another backend. The run in progress is stopped. */
export async function openModel(choice: ModelChoice = model.value): Promise<void> {
  await chat.stop();
  model.value = choice;
  await engines.open({ model: choice, backend: settings.value.backend });
}

/** The settings of a new run. */
export function runSettings(): RunSettings {
  const { attention, thinking } = settings.value;
  const seed = Math.floor(Math.random() * 2 ** 31);
  return { model: model.value.name, attention: specOf(attention), thinking, seed };
}
