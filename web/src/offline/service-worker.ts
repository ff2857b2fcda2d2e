/**
 * The page's service worker: keeps the page and the bundled model for use without a network, and adds the headers that shared memory
 * needs where the host does not send them.
 */
import { answerRange } from "./range-answer.ts";

/** Written by the build: the files of the page, and the versions of page and model. */
const made: {
  readonly files: readonly string[];
  readonly pageVersion: string;
  readonly modelVersion: string;
} = JSON.parse("__MADE__");
const PAGE_CACHE = `lessismore page ${made.pageVersion}`;
const MODEL_CACHE = `lessismore model ${made.modelVersion}`;
const OURS = /^lessismore (page|model) /;

/** What of ServiceWorkerGlobalScope is used; TypeScript's types of pages and of workers exclude each other. */
interface ServiceWorkerScope extends EventTarget {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
}
interface LastingEvent extends Event {
  waitUntil(promise: Promise<unknown>): void;
}
interface FetchEvent extends LastingEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const worker = globalThis as unknown as ServiceWorkerScope;
const { scope } = worker.registration;
const modelFolder = new URL("models/", scope).href;
const startPage = new URL("index.html", scope).href;
const pageFiles = new Set(made.files.map((file) => new URL(file, scope).href));
/** Downloads of model files in progress, so that parts of one file cause one. */
const downloads = new Map<string, Promise<Response>>();

worker.addEventListener("install", (event) => {
  const install = async () => {
    const cache = await caches.open(PAGE_CACHE);
    await cache.addAll([...pageFiles].map((url) => new Request(url, { cache: "no-cache" })));
    await worker.skipWaiting();
  };
  (event as LastingEvent).waitUntil(install());
});

worker.addEventListener("activate", (event) => {
  const activate = async () => {
    const names = (await caches.keys()).filter((name) => OURS.test(name));
    await Promise.all(
      names.filter((name) => name !== PAGE_CACHE && name !== MODEL_CACHE).map((name) => caches.delete(name)),
    );
    await worker.clients.claim();
  };
  (event as LastingEvent).waitUntil(activate());
});

worker.addEventListener("fetch", (event) => {
  const { request, respondWith } = event as FetchEvent;
  if (request.method !== "GET" || !request.url.startsWith(scope)) return;
  respondWith.call(event, answer(request).then(isolated));
});

async function answer(request: Request): Promise<Response> {
  const url = new URL(request.url);
  url.hash = "";
  url.search = "";
  if (request.mode === "navigate") return answerPage(request);
  if (url.href.startsWith(modelFolder)) return answerModel(url.href, request);
  if (!pageFiles.has(url.href)) return fetch(request);
  const kept = await (await caches.open(PAGE_CACHE)).match(url.href);
  return kept ?? fetch(request);
}

/** The newest page while there is a network, else the kept one. */
async function answerPage(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await (await caches.open(PAGE_CACHE)).match(startPage);
    if (kept) return kept;
    throw error;
  }
}

/** A file of the model, or the range of it that was asked for, from the cache; it is fetched whole where it is not there. */
async function answerModel(url: string, request: Request): Promise<Response> {
  const cache = await caches.open(MODEL_CACHE);
  const whole = (await cache.match(url)) ?? (await download(url, cache)).clone();
  return whole.status === 200 ? answerRange(whole, request.headers.get("range")) : whole;
}

function download(url: string, cache: Cache): Promise<Response> {
  const running = downloads.get(url);
  if (running) return running;
  const started = (async () => {
    const response = await fetch(url);
    if (response.status !== 200) return response;
    const bytes = await response.arrayBuffer();
    const whole = new Response(bytes, { status: 200, headers: response.headers });
    await cache.put(url, whole.clone()).catch(() => {}); // storage may be full; the page works while there is a network
    return whole;
  })().finally(() => downloads.delete(url));
  downloads.set(url, started);
  return started;
}

/** The same response with the headers under which pages may share memory with workers. */
function isolated(response: Response): Response {
  if (response.type === "opaque" || response.type === "opaqueredirect" || response.status === 0)
    return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const hasBody = ![101, 204, 205, 304].includes(response.status);
  const { status, statusText } = response;
  return new Response(hasBody ? response.body : null, { status, statusText, headers });
}
