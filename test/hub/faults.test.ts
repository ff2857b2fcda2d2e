import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AbortedError, ModelFileError } from "../../src/base/errors.ts";
import { cache, expectNoFalseBlob, hasWeights, hub, open, WEIGHTS } from "./hub-trial.ts";
import { refuse } from "./local-hub.ts";

describe("a server at fault", () => {
  test("cuts every connection after some bytes: the download goes on where it broke off", async () => {
    hub.fault = (request, response, { kind, path }) => {
      if (kind !== "store") return false;
      const [, from, to] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      const content = hub.contentOf("org/model", path);
      const body = content.subarray(Number(from), Number(to) + 1);
      response.writeHead(206, {
        "Content-Range": `bytes ${from}-${to}/${content.length}`,
        "Content-Length": body.length,
      });
      response.write(body.subarray(0, 1_500_000), () => response.destroy());
      return true;
    };
    expect(await hasWeights(await open("org/model"))).toBe(true);
  });

  test.each<[string, number]>([
    ["500", 500],
    ["503", 503],
    ["408", 408],
    ["429", 429],
  ])("answers %s for a while: the request is repeated", async (_, status) => {
    hub.fault = (_request, response, { kind, count }) => {
      if (count > 2 || kind === "search") return false;
      response.writeHead(status, { "Retry-After": "0" }).end();
      return true;
    };
    expect(await hasWeights(await open("org/model"))).toBe(true);
  });

  test("answers 429 and 500 while headers are read: the requests are repeated", async () => {
    hub.fault = (_request, response, { kind, count }) => {
      if (kind === "search" || count > 2) return false;
      response.writeHead(count === 1 ? 429 : 500, { "Retry-After": "0" }).end();
      return true;
    };
    const opened = await open("org/model", {}, { headersOnly: true });
    const source = await opened.folder.open("model.safetensors");
    expect([opened.isRemote, source?.sizeBytes]).toEqual([true, WEIGHTS.length]);
    expect(
      Buffer.from((await source?.read(5_000_000, 100)) ?? "").equals(WEIGHTS.subarray(5_000_000, 5_000_100)),
    ).toBe(true);
  });

  test("cuts connections while headers are read, at once and within a body: the reads are repeated", async () => {
    hub.fault = (request, response, { kind, path, count }) => {
      if (count > 2 || kind === "search") return false;
      const [, from, to] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      if (count === 1 || kind !== "store") {
        response.destroy();
        return true;
      }
      const content = hub.contentOf("org/model", path);
      const body = content.subarray(Number(from), Number(to) + 1);
      response.writeHead(206, {
        "Content-Range": `bytes ${from}-${to}/${content.length}`,
        "Content-Length": body.length,
      });
      response.write(body.subarray(0, 50), () => response.destroy());
      return true;
    };
    const opened = await open("org/model", {}, { headersOnly: true });
    const source = await opened.folder.open("model.safetensors");
    expect(source?.sizeBytes).toBe(WEIGHTS.length);
    // Counts go on from those of the opening; each read meets both faults anew.
    const fault = hub.fault;
    let first = 0;
    hub.fault = (request, response, at) => {
      first ||= at.kind === "store" ? at.count : 0;
      return fault(request, response, { ...at, count: at.kind === "store" ? at.count - first + 1 : 3 });
    };
    const bytes = await source?.read(5_000_000, 100);
    expect(Buffer.from(bytes ?? "").equals(WEIGHTS.subarray(5_000_000, 5_000_100))).toBe(true);
  });

  test("cuts every connection while headers are read: it gives up after as many attempts as a download", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "store") return false;
      response.destroy();
      return true;
    };
    const { folder } = await open("org/model", {}, { headersOnly: true });
    await expect(folder.open("model.safetensors")).rejects.toThrow(
      /model\.safetensors.*gave up after 5 attempts/,
    );
    expect(hub.seen.filter(({ kind }) => kind === "store").length).toBe(5);
  });

  test("answers 500 for ever: it gives up and keeps nothing that is false", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "store") return false;
      response.writeHead(500).end();
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(
      /model\.safetensors.*answered 500.*gave up after 5 attempts/,
    );
    expectNoFalseBlob();
  });

  test("asks to wait: it waits as long as Retry-After says, and not beyond reason", async () => {
    hub.fault = (_request, response, { kind, count }) => {
      if (kind !== "revision" || count > 1) return false;
      response.writeHead(429, { "Retry-After": "1" }).end();
      return true;
    };
    const startedAt = performance.now();
    await open("org/empty-file");
    expect(performance.now() - startedAt).toBeGreaterThan(950);
    hub.fault = (_request, response) => {
      response.writeHead(429, { "Retry-After": "86400" }).end();
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/429.*HF_TOKEN.*wait 86400 s/);
  });

  test.each<[string, (content: Buffer) => Buffer]>([
    ["another byte", (content) => Buffer.from(content).fill(0, 7_000_000, 7_000_010)],
    ["only zeros", (content) => Buffer.alloc(content.length)],
  ])("sends %s: the hash is wrong, the error says so, nothing is kept", async (_, change) => {
    const wrong = change(Buffer.from(WEIGHTS));
    hub.fault = (request, response, { kind }) => {
      if (kind !== "store") return false;
      const [, from = 0, to = 0] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      const body = wrong.subarray(Number(from), Number(to) + 1);
      response.writeHead(206, {
        "Content-Range": `bytes ${from}-${to}/${wrong.length}`,
        "Content-Length": body.length,
      });
      response.end(body);
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/sha256 .* not kept/);
    expectNoFalseBlob();
    expect(
      readdirSync(join(cache, "models--org--model/blobs")).some((name) => name.endsWith(".incomplete")),
    ).toBe(false);
    await expect(open("org/model", { HF_HUB_OFFLINE: "1" })).rejects.toThrow(ModelFileError);
    hub.fault = () => false;
    expect(await hasWeights(await open("org/model"))).toBe(true);
  });

  test("sends a small file with another content: the Git hash is wrong", async () => {
    hub.fault = (_request, response, { path }) => {
      if (path !== "config.json") return false;
      response.end('{"model_type":"y"}');
      return true;
    };
    await expect(open("org/model")).rejects.toThrow("git-sha1");
    expectNoFalseBlob();
  });

  const total = WEIGHTS.length;
  const lying: [string, string, (from: number, to: number) => Record<string, string | number>, number][] = [
    [
      "another total",
      "the server sends bytes",
      (from, to) => ({ "Content-Range": `bytes ${from}-${to}/${total + 1}` }),
      0,
    ],
    [
      "another range",
      "the server sends bytes 1-",
      (from, to) => ({ "Content-Range": `bytes ${from + 1}-${to}/${total}` }),
      0,
    ],
    ["no range", "the server sends junk", () => ({ "Content-Range": "junk" }), 0],
    [
      "compressed ranges",
      "encoding gzip",
      (from, to) => ({ "Content-Range": `bytes ${from}-${to}/${total}`, "Content-Encoding": "gzip" }),
      0,
    ],
    [
      "a longer body",
      "sends more than",
      (from, to) => ({ "Content-Range": `bytes ${from}-${to}/${total}` }),
      100,
    ],
  ];
  test.each(lying)("lies about lengths (%s): refused at once", async (_, message, headers, more) => {
    hub.fault = (request, response, { kind }) => {
      if (kind !== "store") return false;
      const [, from = 0, to = 0] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      response.writeHead(206, headers(Number(from), Number(to)));
      response.end(Buffer.alloc(Number(to) - Number(from) + 1 + more));
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(message);
    expect(hub.seen.filter(({ kind }) => kind === "store").length).toBeLessThan(20);
    expectNoFalseBlob();
  });

  test("sends a whole file of another length in place of a range: refused", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind === "store") response.end(WEIGHTS.subarray(1));
      return kind === "store";
    };
    await expect(open("org/model")).rejects.toThrow(`the server sends a file of ${total - 1}`);
  });

  test("lists one size and links another: refused", async () => {
    hub.fault = (_request, response, { kind, path }) => {
      if (kind !== "resolve" || path !== "model.safetensors") return false;
      response.writeHead(302, { Location: `${hub.storeUrl}/org/model/${path}`, "X-Linked-Size": "5" }).end();
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/lists .* sends 5/);
  });

  test("ignores ranges: the file comes whole over one connection", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "store") return false;
      response.writeHead(200, { "Content-Length": WEIGHTS.length }).end(WEIGHTS);
      return true;
    };
    expect(await hasWeights(await open("org/model"))).toBe(true);
    expect(hub.seen.filter(({ kind }) => kind === "store")).toHaveLength(1);
  });

  test("redirects for ever: refused", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "resolve") return false;
      response.writeHead(302, { Location: `${hub.url}/org/model/resolve/main/config.json` }).end();
      return true;
    };
    await expect(open("org/model")).rejects.toThrow("redirects more than 10 times");
    const asked = hub.seen.filter(({ kind, path }) => kind === "resolve" && path === "config.json");
    expect(asked).toHaveLength(11); // The loop once: it does not pass.
  });

  test("answers with the page of a proxy: the error names what came", async () => {
    hub.fault = (_request, response) => {
      response.end("<html>sign in</html>");
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/no JSON .*sign in.*HF_ENDPOINT/);
  });

  test("stops sending for a while: the request is repeated where it stopped", async () => {
    hub.fault = (request, response, { kind, count }) => {
      if (kind !== "store" || count > 2) return false;
      const [, from = 0, to = 0] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      response.writeHead(206, { "Content-Range": `bytes ${from}-${to}/${WEIGHTS.length}` });
      response.write(WEIGHTS.subarray(Number(from), Number(from) + 1000));
      return true;
    };
    expect(await hasWeights(await open("org/model", { HF_HUB_DOWNLOAD_TIMEOUT: "1" }))).toBe(true);
    const starts = hub.seen.flatMap(({ kind, range }) => (kind === "store" ? [range?.split("-")[0]] : []));
    expect(starts).toContain("bytes=1000");
  });

  test("sends a byte a request: it gives up after a few, whatever the file's size", async () => {
    hub.fault = (request, response, { kind }) => {
      if (kind !== "store") return false;
      const [, from = 0] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      const headers = { "Content-Range": `bytes ${from}-${from}/${WEIGHTS.length}`, "Content-Length": 1 };
      response.writeHead(206, headers).end(WEIGHTS.subarray(Number(from), Number(from) + 1));
      return true;
    };
    const ending = AbortSignal.timeout(20_000);
    await expect(open("org/model", {}, { signal: ending })).rejects.toThrow(/gave up after 5 attempts/);
    expect(hub.seen.filter(({ kind }) => kind === "store").length).toBeLessThan(60);
  });

  test("stops sending: the transfer ends when the caller aborts", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "store") return false;
      response.writeHead(206, { "Content-Range": `bytes 0-9/${WEIGHTS.length}` });
      response.write("x");
      return true;
    };
    const signal = AbortSignal.timeout(100);
    await expect(open("org/model", {}, { signal })).rejects.toThrow(AbortedError);
  });
});

describe("a refusal says what to do", () => {
  const answer = (status: number, code: string, message: string) => {
    hub.fault = (_request, response, { kind }) => {
      if (kind === "search") return false;
      refuse(response, status, code, message);
      return true;
    };
  };
  test("gated without a token, and with one", async () => {
    answer(401, "GatedRepo", "Access to model org/model is restricted.");
    await expect(open("org/model")).rejects.toThrow(/accept its licence .* set HF_TOKEN/);
    answer(403, "GatedRepo", "Access to model org/model is restricted.");
    await expect(open("org/model", { HF_TOKEN: "hf_x" })).rejects.toThrow(
      /accept its licence .* account of the token/,
    );
  });
  test("a token that is not valid", async () => {
    answer(401, "", "Invalid credentials in Authorization header");
    const failing = open("org/model", { HF_TOKEN: "hf_wrong" });
    await expect(failing).rejects.toThrow(/token is not valid/);
    await expect(failing).rejects.not.toThrow("hf_wrong");
  });
  test("403 without a reason", async () => {
    answer(403, "", "");
    await expect(open("org/model")).rejects.toThrow(/403.*HF_TOKEN/);
  });
  test("a model, a revision, a file and a quantisation that are not there, with near names", async () => {
    await expect(open("org/modell")).rejects.toThrow(
      /no model org\/modell; did you mean org\/model\?.*HF_TOKEN/,
    );
    await expect(open("org/modell")).rejects.toThrow(
      /here, org\/modell is neither a folder nor a file; on the hub 127.0.0.1:\d+: .*no model org\/modell/,
    );
    await expect(open("org/model@v2")).rejects.toThrow("org/model has no revision v2");
    await expect(open("org/parts/m-Q4_1-00001-of-00002.gguf")).rejects.toThrow(
      /did you mean m-Q4_0-00001-of-00002.gguf/,
    );
    await expect(open("org/parts:Q5_K_M")).rejects.toThrow("no GGUF file of Q5_K_M; it has Q4_0, Q8_0");
    await expect(open("org/parts")).rejects.toThrow("name one: hf:org/parts:Q4_0");
    await expect(open("org/model:Q4_0")).rejects.toThrow("org/model has no GGUF file");
  });
});
