/**
 * An interpreter of the part of Python's pickle format that `torch.save` uses for a dict of tensors. It allows tensors, their
 * storages, containers, numbers and texts, and refuses every other opcode and name, so that a file cannot run code.
 * Source: CPython 3.13, Lib/pickletools.py; PyTorch 2.9, torch/serialization.py.
 */
import { printValue } from "../../base/print-value.ts";

/** A tensor as the pickle describes it; its bytes are in a file of the archive. */
export interface PickledTensor {
  /** The name of the storage's file. */
  readonly storage: string;
  /** As PyTorch names the class of the storage: FloatStorage, HalfStorage, BFloat16Storage. */
  readonly storageType: string;
  /** Elements of the storage before the tensor. */
  readonly offset: number;
  readonly shape: readonly number[];
}

/** Values of a program. A text of a global is a value of its own, which no program can forge. */
type Value =
  | null
  | boolean
  | number
  | string
  | Global
  | Storage
  | TensorValue
  | readonly Value[]
  | List
  | Dict;

class Global {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}
class Storage {
  readonly type: string;
  readonly key: string;
  readonly size: number;
  constructor(type: string, key: string, size: number) {
    this.type = type;
    this.key = key;
    this.size = size;
  }
}
class TensorValue {
  readonly tensor: PickledTensor;
  constructor(tensor: PickledTensor) {
    this.tensor = tensor;
  }
}
class List {
  readonly items: Value[] = [];
}
class Dict {
  readonly entries = new Map<string | number, Value>();
}

const STORAGES = ["FloatStorage", "HalfStorage", "BFloat16Storage"];
const GLOBALS = new Set([
  "collections.OrderedDict",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
  ...STORAGES.map((type) => `torch.${type}`),
]);
/** Limits, far above a gate of any model: 1000 layers take some 100,000 steps. */
const MAX_STEPS = 2_000_000;
const MAX_STACK = 100_000;
const MAX_RANK = 8;

/** A program that is refused, for whatever reason. The caller names the file. */
export class PickleError extends Error {}

/** Runs a pickle; returns the tensors of the dict that it makes, by key. @throws PickleError */
export function unpickleTensors(bytes: Uint8Array): ReadonlyMap<string, PickledTensor> {
  const result = new Machine(bytes).run();
  if (!(result instanceof Dict)) throw new PickleError("it holds no dict of tensors");
  const tensors = new Map<string, PickledTensor>();
  for (const [key, value] of result.entries) {
    if (typeof key !== "string" || !(value instanceof TensorValue))
      throw new PickleError(`its entry ${printValue(key)} is no tensor`);
    tensors.set(key, value.tensor);
  }
  return tensors;
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  readonly #stack: Value[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): Value {
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      const opcode = this.#take(1);
      if (this.#bytes[opcode] === 0x2e) return this.#pop(); // STOP
      this.#step(this.#bytes[opcode] ?? 0);
      if (this.#stack.length > MAX_STACK || this.#marks.length > MAX_STACK)
        throw new PickleError("it nests or lists too much");
    }
    throw new PickleError(`it takes more than ${MAX_STEPS} steps`);
  }

  /** Moves past `length` bytes; returns the position of the first. */
  #take(length: number): number {
    const at = this.#at;
    if (length < 0 || at + length > this.#bytes.length) throw new PickleError("it ends in the middle");
    this.#at += length;
    return at;
  }

  #pop(): Value {
    const value = this.#stack.pop();
    if (value === undefined || this.#stack.length < (this.#marks.at(-1) ?? 0))
      throw new PickleError("it takes a value that is not there");
    return value;
  }

  /** Values above the last mark, which goes. */
  #popMarked(): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new PickleError("it takes values without a mark");
    return this.#stack.splice(mark);
  }

  #text(length: number): string {
    const at = this.#take(length);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > 200) throw new PickleError("it names something too long");
    const text = this.#text(end - this.#at);
    this.#take(1);
    return text;
  }

  #step(opcode: number): void {
    const literal = this.#literal(opcode);
    if (literal !== undefined) {
      this.#stack.push(literal);
      return;
    }
    const act = ACTIONS[opcode];
    if (!act) throw new PickleError(`it has opcode 0x${opcode.toString(16)}, which no dict of tensors needs`);
    act(this.#hands);
  }

  /** The value of an opcode that pushes a number, a text or an empty container; undefined for others. */
  #literal(opcode: number): Value | undefined {
    switch (opcode) {
      case 0x4e:
        return null; // NONE
      case 0x88:
        return true; // NEWTRUE
      case 0x89:
        return false; // NEWFALSE
      case 0x4b:
        return this.#view.getUint8(this.#take(1)); // BININT1
      case 0x4d:
        return this.#view.getUint16(this.#take(2), true); // BININT2
      case 0x4a:
        return this.#view.getInt32(this.#take(4), true); // BININT
      case 0x8a:
        return this.#long(); // LONG1
      case 0x58:
        return this.#text(this.#view.getUint32(this.#take(4), true)); // BINUNICODE
      case 0x8c:
        return this.#text(this.#view.getUint8(this.#take(1))); // SHORT_BINUNICODE
      case 0x29:
        return []; // EMPTY_TUPLE
      case 0x5d:
        return new List(); // EMPTY_LIST
      case 0x7d:
        return new Dict(); // EMPTY_DICT
      default:
        return undefined;
    }
  }

  #long(): number {
    const length = this.#view.getUint8(this.#take(1));
    if (length > 7) throw new PickleError("it has a number that is too large");
    const at = this.#take(length);
    let value = 0;
    for (let i = 0; i < length; i++) value += (this.#bytes[at + i] ?? 0) * 256 ** i;
    const isNegative = length > 0 && (this.#bytes[at + length - 1] ?? 0) >= 128;
    return isNegative ? value - 256 ** length : value;
  }

  /** The machine as its actions use it. */
  readonly #hands: Hands = {
    pop: () => this.#pop(),
    popMarked: () => this.#popMarked(),
    push: (value) => this.#stack.push(value),
    top: () => this.#stack.at(-1),
    mark: () => this.#marks.push(this.#stack.length),
    line: () => this.#line(),
    uint: (size) => {
      const at = this.#take(size);
      return size === 1 ? this.#view.getUint8(at) : this.#view.getUint32(at, true);
    },
    skip: (length) => this.#take(length),
    memo: this.#memo,
  };
}

interface Hands {
  pop(): Value;
  popMarked(): Value[];
  push(value: Value): void;
  top(): Value | undefined;
  mark(): void;
  line(): string;
  uint(size: 1 | 4): number;
  skip(length: number): void;
  readonly memo: Map<number, Value>;
}

const tuple = (length: number) => (m: Hands) => {
  const items: Value[] = [];
  for (let i = 0; i < length; i++) items.unshift(m.pop());
  m.push(items);
};
const remember = (m: Hands, index: number) => {
  const value = m.top();
  if (value === undefined) throw new PickleError("it remembers a value that is not there");
  m.memo.set(index, value);
};
const recall = (m: Hands, index: number) => {
  const value = m.memo.get(index);
  if (value === undefined) throw new PickleError("it recalls a value that it did not remember");
  m.push(value);
};

const ACTIONS: Readonly<Record<number, (m: Hands) => void>> = {
  128: (m) => m.skip(1), // PROTO
  149: (m) => m.skip(8), // FRAME
  40: (m) => m.mark(), // MARK
  113: (m) => remember(m, m.uint(1)), // BINPUT
  114: (m) => remember(m, m.uint(4)), // LONG_BINPUT
  148: (m) => remember(m, m.memo.size), // MEMOIZE
  104: (m) => recall(m, m.uint(1)), // BINGET
  106: (m) => recall(m, m.uint(4)), // LONG_BINGET
  116: (m) => m.push(m.popMarked()), // TUPLE
  133: tuple(1),
  134: tuple(2),
  135: tuple(3),
  99: (m) => m.push(global(m.line(), m.line())), // GLOBAL
  147: (m) => {
    const name = m.pop(); // STACK_GLOBAL
    m.push(global(m.pop(), name));
  },
  81: (m) => m.push(storage(m.pop())), // BINPERSID
  82: (m) => {
    const values = m.pop(); // REDUCE
    m.push(call(m.pop(), values));
  },
  98: (m) => {
    m.pop(); // BUILD: attributes of a dict, such as _metadata
    if (!(m.top() instanceof Dict)) throw new PickleError("it changes an object that is no dict");
  },
  97: (m) => append(m, [m.pop()]), // APPEND
  101: (m) => append(m, m.popMarked()), // APPENDS
  115: (m) => {
    const value = m.pop(); // SETITEM
    setItems(m, [m.pop(), value]);
  },
  117: (m) => setItems(m, m.popMarked()), // SETITEMS
};

function append(m: Hands, items: readonly Value[]): void {
  const list = m.top();
  if (!(list instanceof List)) throw new PickleError("it appends to a value that is no list");
  for (const item of items) list.items.push(item);
}

function setItems(m: Hands, items: readonly Value[]): void {
  const dict = m.top();
  if (!(dict instanceof Dict) || items.length % 2 !== 0)
    throw new PickleError("it sets an entry of a value that is no dict");
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i];
    if (typeof key !== "string" && typeof key !== "number")
      throw new PickleError(`it has an entry whose key is neither a text nor a number`);
    dict.entries.set(key, items[i + 1] ?? null);
  }
}

function global(module: Value, name: Value): Global {
  const full = `${String(module)}.${String(name)}`;
  if (typeof module !== "string" || typeof name !== "string" || !GLOBALS.has(full))
    throw new PickleError(
      `it wants ${printValue(typeof module === "string" ? full : "something")}, and only tensors are read: it may be meant to run code`,
    );
  return new Global(full);
}

/** A storage by its persistent id: ("storage", class, key, location, number of elements). */
function storage(id: Value): Storage {
  if (!Array.isArray(id)) throw new PickleError("it names a storage in a way that is unknown");
  const [kind, type, key, , size] = id as readonly Value[];
  const isStorage = type instanceof Global && STORAGES.some((one) => type.name === `torch.${one}`);
  if (kind !== "storage" || !isStorage || typeof key !== "string" || !isCount(size))
    throw new PickleError("it has a storage that is not of floats in 32 or 16 bits");
  if (!/^\d{1,9}$/.test(key))
    throw new PickleError(`it has a storage of the impossible name ${printValue(key)}`);
  return new Storage(type.name.slice("torch.".length), key, size);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function call(target: Value, given: Value): Value {
  if (!(target instanceof Global) || !Array.isArray(given))
    throw new PickleError("it calls what is no function");
  const values = given as readonly Value[];
  if (target.name === "collections.OrderedDict" && values.length === 0) return new Dict();
  if (target.name === "torch._utils._rebuild_parameter" && values[0] instanceof TensorValue) return values[0];
  if (target.name === "torch._utils._rebuild_tensor_v2") return rebuildTensor(values);
  throw new PickleError(`it calls ${target.name} with other values than a dict of tensors has`);
}

function rebuildTensor([from, offset, shape, strides]: readonly Value[]): TensorValue {
  const isSizes = (value: Value | undefined): value is readonly number[] =>
    Array.isArray(value) && value.length <= MAX_RANK && value.every(isCount);
  if (!(from instanceof Storage) || !isCount(offset) || !isSizes(shape) || !isSizes(strides))
    throw new PickleError("it has a tensor of impossible sizes");
  let elements = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] ?? 0;
    if (strides.length !== shape.length || (size > 1 && strides[i] !== elements))
      throw new PickleError("it has a tensor that is not contiguous; save it with .contiguous()");
    elements *= size;
  }
  if (!Number.isSafeInteger(elements) || offset + elements > from.size)
    throw new PickleError(`it has a tensor of ${elements} elements in a storage of ${from.size}`);
  return new TensorValue({ storage: from.key, storageType: from.type, offset, shape });
}
