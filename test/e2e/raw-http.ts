/** HTTP by hand, for what no client does. */
import { connect, type Socket } from "node:net";

const TIMEOUT_MS = 20_000;

/** A connection on which a test writes what it likes. */
export class RawConnection {
  readonly socket: Socket;
  #text = "";
  #bytes = 0;
  readonly #closed: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.#closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {}); // a test asks what came before it
    socket.on("data", (bytes: Buffer) => {
      this.#bytes += bytes.length;
      this.#text += bytes.toString("latin1");
    });
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: "127.0.0.1" });
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new RawConnection(socket);
  }

  get text(): string {
    return this.#text;
  }

  get numBytes(): number {
    return this.#bytes;
  }

  /** Status of the first answer; 0 before it. */
  get status(): number {
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.#text)?.[1] ?? 0);
  }

  write(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  /** Writes a request for a chat completion. */
  chat(body: object): void {
    const json = JSON.stringify(body);
    this.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
    );
  }

  /** Resolves when the text received meets a condition. */
  async until(condition: (text: string) => boolean): Promise<string> {
    const end = Date.now() + TIMEOUT_MS;
    while (!condition(this.#text)) {
      if (Date.now() > end) throw new Error(`nothing more came after ${this.#text.slice(-200)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return this.#text;
  }

  /** Resolves when the server has ended the connection. */
  async closed(): Promise<string> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("the connection is still open")), TIMEOUT_MS);
    });
    await Promise.race([this.#closed, late]).finally(() => clearTimeout(timer));
    return this.#text;
  }

  /** Ends the connection without a word, as a client that vanishes. */
  vanish(): void {
    this.socket.resetAndDestroy();
  }
}
