import { signal, useSignal } from "@preact/signals";
import { listModels, removeModel, type StoredModel, suggestModels } from "lessismore";
import { useEffect, useId } from "preact/hooks";
import { probeCapabilities, storageEstimate } from "../engine/capabilities.ts";
import { BACKEND_WISHES, isBackendWish } from "../engine/open-wish.ts";
import { engines, model, openModel, pageFault } from "../page-state.ts";
import { change, type Settings, settings } from "../settings.ts";
import { bytes, texts } from "../texts.ts";
import { openFiles } from "./drop-model.tsx";
import { BUNDLED, hubChoice, type ModelChoice } from "./model-choice.ts";

const stored = signal<readonly StoredModel[]>([]);
const estimate = signal<{ usage: number; quota: number } | undefined>(undefined);

async function look(): Promise<void> {
  estimate.value = await storageEstimate();
  stored.value = probeCapabilities().hasPrivateFiles ? await listModels().catch(() => []) : [];
}

/** Chooses the model and the backend, and shows what runs. */
export function ModelPicker({ onDone }: { readonly onDone: () => void }) {
  const { phase } = engines.state.value;
  // a model that was opened may have been fetched
  useEffect(() => void look(), [phase]);
  const open = (choice: ModelChoice) => {
    void openModel(choice);
    onDone();
  };
  return (
    <>
      <ModelList open={open} />
      <HubForm open={open} />
      <FileForm onDone={onDone} />
      <Machine />
    </>
  );
}

function ModelList({ open }: { readonly open: (choice: ModelChoice) => void }) {
  const remove = async (name: string) => {
    await removeModel(name).catch((error: unknown) => {
      pageFault.value = error instanceof Error ? error.message : String(error);
    });
    await look();
  };
  return (
    <section>
      <ul class="model-list">
        <li>
          <button type="button" aria-pressed={model.value.kind === "bundled"} onClick={() => open(BUNDLED)}>
            <span>{BUNDLED.name}</span> <span class="badge">{texts.models.bundled}</span>
          </button>
        </li>
        {stored.value.map(({ name, sizeBytes }) => (
          <li key={name}>
            <button
              type="button"
              aria-pressed={model.value.name === name}
              onClick={() => open(hubChoice(name))}
            >
              <span>{name}</span> <span class="badge">{bytes(sizeBytes)}</span>
            </button>
            <button
              type="button"
              class="quiet"
              aria-label={texts.models.remove(name)}
              onClick={() => void remove(name)}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
      <p>{texts.models.bundledAbout}</p>
      {estimate.value && <p>{texts.models.storage(estimate.value.usage, estimate.value.quota)}</p>}
    </section>
  );
}

/** Models of the hub that fit most machines. */
const NUM_SUGGESTED = 4;

function HubForm({ open }: { readonly open: (choice: ModelChoice) => void }) {
  const id = useId();
  const name = useSignal("");
  const token = useSignal("");
  const hubUrl = useSignal("");
  const isPossible = probeCapabilities().hasPrivateFiles;
  return (
    <section>
      <h3>{texts.models.hub}</h3>
      <p>{isPossible ? texts.models.hubAbout : texts.models.noPrivateFiles}</p>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.value.trim() === "") return;
          open(hubChoice(name.value.trim(), { token: token.value.trim(), hubUrl: hubUrl.value.trim() }));
        }}
      >
        <input
          type="text"
          aria-label={texts.models.hubName}
          placeholder={texts.models.hubName}
          list={`${id}-names`}
          spellcheck={false}
          value={name.value}
          onInput={({ currentTarget }) => (name.value = currentTarget.value)}
        />
        <button type="submit">{texts.models.fetch}</button>
        <details>
          <summary>{texts.models.hubMore}</summary>
          <input
            type="password"
            autocomplete="off"
            aria-label={texts.models.hubToken}
            placeholder={texts.models.hubToken}
            value={token.value}
            onInput={({ currentTarget }) => (token.value = currentTarget.value)}
          />
          <input
            type="text"
            spellcheck={false}
            aria-label={texts.models.hubUrl}
            placeholder={texts.models.hubUrl}
            value={hubUrl.value}
            onInput={({ currentTarget }) => (hubUrl.value = currentTarget.value)}
          />
        </details>
      </form>
      <div class="row">
        {suggestions().map((one) => (
          <button type="button" class="quiet" key={one} onClick={() => (name.value = one)}>
            {one}
          </button>
        ))}
      </div>
    </section>
  );
}

function suggestions(): string[] {
  return suggestModels()
    .map(({ name }) => name)
    .slice(0, NUM_SUGGESTED);
}

function FileForm({ onDone }: { readonly onDone: () => void }) {
  const choose = ({ currentTarget }: { readonly currentTarget: HTMLInputElement }) => {
    const files = [...(currentTarget.files ?? [])];
    currentTarget.value = "";
    if (files.length === 0) return;
    void openFiles(files);
    onDone();
  };
  return (
    <section>
      <h3>{texts.models.files}</h3>
      <p>{texts.models.filesAbout}</p>
      <div class="row">
        <label class="button">
          <input type="file" class="for-readers" multiple onChange={choose} />
          {texts.models.chooseFiles}
        </label>
        <label class="button">
          <input type="file" class="for-readers" {...{ webkitdirectory: true }} onChange={choose} />
          {texts.models.chooseFolder}
        </label>
      </div>
    </section>
  );
}

const THEMES: readonly Settings["theme"][] = ["auto", "light", "dark"];

function Machine() {
  const id = useId();
  const { value: state } = engines.state;
  return (
    <section>
      <div class="row">
        <div class="field wide">
          <label for={`${id}-backend`}>{texts.models.backend}</label>
          <select
            id={`${id}-backend`}
            value={settings.value.backend}
            onChange={({ currentTarget: { value } }) => {
              if (!isBackendWish(value)) return;
              change({ backend: value });
              void openModel();
            }}
          >
            {BACKEND_WISHES.map((wish) => (
              <option key={wish} value={wish}>
                {texts.models.backendName(wish)}
              </option>
            ))}
          </select>
        </div>
        <div class="field wide">
          <label for={`${id}-theme`}>{texts.models.theme}</label>
          <select
            id={`${id}-theme`}
            value={settings.value.theme}
            onChange={({ currentTarget: { value } }) => {
              const theme = THEMES.find((one) => one === value);
              if (theme) change({ theme });
            }}
          >
            {THEMES.map((theme) => (
              <option key={theme} value={theme}>
                {texts.models.themes[theme]}
              </option>
            ))}
          </select>
        </div>
      </div>
      {state.phase === "ready" && <Facts />}
      {state.phase === "failed" && (
        <p class="notice failed" role="alert">
          {state.error.message}
        </p>
      )}
    </section>
  );
}

function Facts() {
  const { value: state } = engines.state;
  if (state.phase !== "ready") return null;
  const { model: opened, backend } = state.report;
  const words = texts.engine;
  const facts: readonly (readonly [string, string])[] = [
    [words.factModel, opened.name],
    [words.factBackend, `${words.backendOf(backend.name)}: ${backend.description}`],
    [words.factWhy, backend.why],
    [words.factContext, texts.problems.lengthOf(opened.contextLength)],
    [words.factCache, words.cacheOf(opened.kvBytesPerToken, opened.cacheDtype)],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
