/** The socket of a server. */
import type { Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { HttpError } from "./http-error.ts";

const HEADERS_TIMEOUT_MS = 15_000;
const BODY_TIMEOUT_MS = 120_000;
const CHECK_MS = 5_000;
/** Limits on large and idle requests; Node ends a connection that exceeds one. */
const NODE_LIMITS = { keepAliveTimeout: 75_000, maxHeaderSize: 16_384 };
const MAX_CONNECTIONS = 4096;

/** Where to listen, and how long to wait for a request. */
export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Milliseconds for the headers of a request. Default 15 s. */
  readonly headersTimeoutMs?: number;
  /** Milliseconds for a whole request with its body; its answer may take longer. Default 120 s. */
  readonly bodyTimeoutMs?: number;
}

/** A server that listens. */
export interface Listening {
  readonly url: string;
  /** Takes no more connections; those without a request end. */
  stop(): void;
  /** Resolves when all connections have ended; after `graceMs` it ends them. */
  close(graceMs: number): Promise<void>;
}

/** @throws the error of Node if the address is taken or is none of this machine's */
export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  { host, port, headersTimeoutMs = HEADERS_TIMEOUT_MS, bodyTimeoutMs = BODY_TIMEOUT_MS }: ListenOptions,
): Promise<Listening> {
  const server = createAdaptorServer({
    fetch,
    overrideGlobalObjects: false,
    serverOptions: {
      ...NODE_LIMITS,
      headersTimeout: headersTimeoutMs,
      requestTimeout: bodyTimeoutMs,
      connectionsCheckingInterval: Math.min(CHECK_MS, headersTimeoutMs, bodyTimeoutMs),
    },
  }) as Server;
  server.maxConnections = MAX_CONNECTIONS;
  server.on("clientError", answerClientError);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { address, family, port: own } = server.address() as AddressInfo;
  let closed: Promise<void> | undefined;
  const stop = () => {
    closed ??= new Promise((resolve) => server.close(() => resolve()));
  };
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${own}`,
    stop,
    close: async (graceMs) => {
      stop();
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

const CLIENT_ERRORS: Readonly<Record<string, readonly [string, string]>> = {
  HPE_HEADER_OVERFLOW: [
    "431 Request Header Fields Too Large",
    `the headers are larger than ${NODE_LIMITS.maxHeaderSize} bytes`,
  ],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "the request took too long to arrive"],
};

/** Answers what Node cannot read as a request, and ends the connection. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = CLIENT_ERRORS[error.code ?? ""] ?? ["400 Bad Request", "this is no HTTP request"];
  const body = JSON.stringify(new HttpError(400, message).body);
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
