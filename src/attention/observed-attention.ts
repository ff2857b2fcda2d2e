import type { Backend, Readback, Scores, SequenceRange, TokenSelection } from "../backend/backend.ts";
import { cacheRowBytes } from "../base/cache-dtype.ts";
import { capacityOf, type TensorRef } from "../base/tensor-ref.ts";
import type { Attention, BatchGroup } from "./attend.ts";
import { windowOf } from "./layer-windows.ts";
import { headsOfMerge, type MergedHeads } from "./merge-heads.ts";
import type { LayerTrace, ResolvedObserver, SelectionEnds, StepTrace } from "./observer.ts";
import { type AttentionModel, DENSE, type LayerRole } from "./policy.ts";
import type { RecordedSelection } from "./workspace.ts";

/** The part of a backend that observing uses. */
export type ObservedBackend = Pick<
  Backend,
  "cacheDtype" | "createTensor" | "attendAll" | "attendSelected" | "scores" | "readback"
> & {
  readonly capacity: Pick<Backend["capacity"], "maxBatchRows" | "maxSequenceLength">;
};

/** A sequence of the batch that is observed in a step. */
export interface ObservedSequence {
  readonly observer: ResolvedObserver;
  /** Number of its decode step. */
  readonly step: number;
  /** Its sequence of the batch, and its row. */
  readonly sequence: number;
  readonly row: number;
  /** Cached tokens after the step. */
  readonly length: number;
}

/** Data of a layer that are on their way. */
interface LayerRecord {
  readonly layer: number;
  readonly role: LayerRole;
  readonly window: number | undefined;
  readonly rows: number;
  readonly selection: SelectionRecord | undefined;
  readonly merge: MergeRecord | undefined;
  /** Dense logits by head. */
  readonly logits: readonly Float32Array[] | undefined;
  readonly outputs: { readonly output: Float32Array; readonly denseOutput: Float32Array } | undefined;
}

/** A selection that is on its way. */
interface SelectionRecord {
  readonly indices: Uint32Array;
  readonly counts: Uint32Array;
  readonly headGroups: number;
  readonly ends: SelectionEnds;
  /** The arrays of its trace, made once. */
  sets: readonly Uint32Array[] | undefined;
}

/** A merge that is on its way. */
interface MergeRecord {
  /** By head, of each unit of the sequence. */
  readonly scores: readonly Float32Array[];
  /** The set. */
  readonly kept: Uint32Array;
  /** Tokens of a unit. */
  readonly unit: number;
}

/** What a step records of one sequence. */
class SequenceRecord {
  readonly of: ObservedSequence;
  readonly layers: LayerRecord[] = [];
  /** True if the step is sparse; known from its first layer on. */
  isSparse = false;
  /** The newest selection, unless it is out of date. */
  selection: SelectionRecord | undefined;
  rowsBefore = 0;

  constructor(of: ObservedSequence) {
    this.of = of;
  }
}

/** Buffers of observed steps, made when the first one is recorded. */
interface Scratch {
  readonly scores: Scores;
  /** f32 [maxBatchRows, numQueryHeads * headDim] */
  readonly output: TensorRef;
}

/** Makes observed steps. */
export class AttentionObservation {
  readonly attention: Attention;
  readonly backend: ObservedBackend;
  #scratch: Scratch | undefined;

  constructor(attention: Attention, backend: ObservedBackend) {
    this.attention = attention;
    this.backend = backend;
  }

  get scratch(): Scratch {
    if (this.#scratch) return this.#scratch;
    const { numQueryHeads: heads, headDim } = this.attention.model;
    const { maxBatchRows, maxSequenceLength } = this.backend.capacity;
    this.#scratch = {
      scores: { values: this.backend.createTensor("f32", [1, heads, maxSequenceLength]), heads, unit: 1 },
      output: this.backend.createTensor("f32", [maxBatchRows, heads * headDim]),
    };
    return this.#scratch;
  }

  /** Starts a step; the decoder calls the result's `attend` in place of the driver's. */
  start(sequences: readonly ObservedSequence[]): ObservedStep {
    return new ObservedStep(this, sequences);
  }
}

/** The attention of one observed step: the driver's own, then what observers want beside it. */
export class ObservedStep {
  readonly #host: AttentionObservation;
  readonly #records: readonly SequenceRecord[];
  readonly #readback: Readback;
  readonly #model: AttentionModel;
  #arrival: Promise<void> | undefined;

  constructor(host: AttentionObservation, sequences: readonly ObservedSequence[]) {
    this.#host = host;
    this.#model = host.attention.model;
    this.#records = sequences.map((sequence) => new SequenceRecord(sequence));
    this.#readback = host.backend.readback();
  }

  /** As `Attention.attend`; group by group, because groups share buffers of scores. */
  attend(layer: number, groups: readonly BatchGroup[], query: TensorRef, output: TensorRef): void {
    const { attention } = this.#host;
    for (const group of groups) {
      const { first, count } = group.range;
      const observed = this.#records.filter(
        ({ of: { sequence } }) => sequence >= first && sequence < first + count,
      );
      for (const record of observed) record.rowsBefore = attention.reads.of(record.of.sequence);
      attention.attend(layer, [group], query, output);
      for (const record of observed) this.#record(record, layer, group, query);
    }
  }

  #record(record: SequenceRecord, layer: number, group: BatchGroup, query: TensorRef): void {
    const { attention } = this.#host;
    const state = attention.stateOf(group);
    if (group.isSparse && !state) return; // its policy threw
    const { observer, sequence } = record.of;
    const window = windowOf(this.#model, layer);
    const role = state?.roles[layer] ?? DENSE;
    record.isSparse = group.isSparse;
    if (role.selects) record.selection = undefined;
    if (!observer.layers[layer]) return;
    const selection =
      role === DENSE || (role.attends === "all" && !role.selects) ? undefined : state?.selection;
    record.layers.push({
      ...{ layer, role, window, rows: attention.reads.of(sequence) - record.rowsBefore },
      selection:
        selection && state && observer.wants.has("selection")
          ? this.#select(record, group, selection, state.recorded)
          : undefined,
      merge:
        role.selects && observer.wants.has("selection")
          ? this.#merge(record, group, state?.recorded)
          : undefined,
      logits:
        observer.wants.has("weights") && window === undefined
          ? this.#logits(record, layer, query)
          : undefined,
      outputs:
        selection && role.attends === "selected" && observer.wants.has("output")
          ? this.#outputs(record, { layer, group, query, selection })
          : undefined,
    });
  }

  /** Copies the selection of the sequence, once for all layers that share it. */
  #select(
    record: SequenceRecord,
    { range }: BatchGroup,
    selection: TokenSelection,
    recorded: RecordedSelection,
  ): SelectionRecord {
    if (record.selection) return record.selection;
    const { indices, counts, headGroups } = selection;
    const at = record.of.sequence - range.first;
    const size = headGroups * capacityOf(indices);
    const made: SelectionRecord = {
      ...{ indices: new Uint32Array(size), counts: new Uint32Array(headGroups), headGroups, sets: undefined },
      ends: endsOf(recorded, record.of.length),
    };
    this.#readback.add(indices, at * size, made.indices);
    this.#readback.add(counts, at * headGroups, made.counts);
    record.selection = made;
    return made;
  }

  /** Copies the scores and the set of the merge, if there was one. */
  #merge(
    { of: { sequence, length } }: SequenceRecord,
    { range }: BatchGroup,
    recorded: RecordedSelection | undefined,
  ): MergeRecord | undefined {
    const { scores, units } = recorded ?? {};
    if (!scores || !units) return undefined;
    const at = sequence - range.first;
    const kept = new Uint32Array(units.count);
    if (kept.length > 0) this.#readback.add(units.units, at * capacityOf(units.units), kept);
    return { scores: this.#heads(scores, at, Math.ceil(length / scores.unit)), kept, unit: scores.unit };
  }

  #logits({ of: { sequence, length } }: SequenceRecord, layer: number, query: TensorRef) {
    const { scores } = this.#host.scratch;
    this.#host.backend.scores(layer, { first: sequence, count: 1 }, query, scores);
    return this.#heads(scores, 0, length);
  }

  /** Copies the scores of the units of each head, of row `at`. */
  #heads({ values, heads }: Scores, at: number, numUnits: number): readonly Float32Array[] {
    const capacity = capacityOf(values);
    return Array.from({ length: heads }, (_, head) => {
      const out = new Float32Array(numUnits);
      this.#readback.add(values, (at * heads + head) * capacity, out);
      return out;
    });
  }

  /** Repeats the layer's attention, and dense attention, into a buffer of its own: the step's is consumed by the next op. */
  #outputs(
    { of: { sequence, row } }: SequenceRecord,
    {
      layer,
      group,
      query,
      selection,
    }: {
      readonly layer: number;
      readonly group: BatchGroup;
      readonly query: TensorRef;
      readonly selection: TokenSelection;
    },
  ) {
    const { backend, scratch } = this.#host;
    const width = this.#model.numQueryHeads * this.#model.headDim;
    const copy = () => {
      const out = new Float32Array(width);
      this.#readback.add(scratch.output, row * width, out);
      return out;
    };
    const one: SequenceRange = { first: sequence, count: 1 };
    backend.attendSelected(layer, group.range, query, selection, scratch.output);
    const output = copy();
    backend.attendAll(layer, one, query, scratch.output);
    return { output, denseOutput: copy() };
  }

  /** Starts the copies to the host; called once, after the last layer. */
  submit(): void {
    this.#arrival = this.#readback.arrive();
    this.#arrival.catch(() => {}); // awaited in `arrive`
  }

  /** @throws BackendError */
  async arrive(): Promise<void> {
    await this.#arrival;
  }

  /** Makes the trace of a sequence of the batch, if it is observed. Call it once, after the arrival. */
  traceOf(sequence: number): StepTrace | undefined {
    const record = this.#records.find(({ of }) => of.sequence === sequence);
    if (!record) return undefined;
    const { step, length } = record.of;
    return {
      ...{ step, length, isSparse: record.isSparse },
      ...{ numQueryHeads: this.#model.numQueryHeads, layerBytes: length * this.#rowBytes },
      layers: record.layers.map((layer) => this.#traceLayer(layer)),
    };
  }

  /** Bytes of the key and the value of a token in one layer. */
  get #rowBytes(): number {
    const { numKvHeads, headDim } = this.#model;
    return 2 * numKvHeads * cacheRowBytes(this.#host.backend.cacheDtype, headDim);
  }

  #traceLayer({ layer, role, window, rows, selection, merge, logits, outputs }: LayerRecord): LayerTrace {
    const merged = merge && headsOfMerge(merge.scores, merge.kept);
    const sets = selection && setsOf(selection);
    return {
      ...{ layer, role },
      ...(window !== undefined && { window }),
      kvBytes: rows * this.#rowBytes,
      ...(sets && { selection: sets, ends: selection.ends }),
      ...(merged && { mergeDepth: merged.depth }),
      ...(merge && merged && sets?.[0] && { mergeHeads: headsOf(sets[0], merge, merged) }),
      ...(logits && { weights: logits.map(softmax) }),
      ...outputs,
    };
  }
}

function setsOf(selection: SelectionRecord): readonly Uint32Array[] {
  const { indices, counts, headGroups } = selection;
  const capacity = indices.length / headGroups;
  selection.sets ??= Array.from({ length: headGroups }, (_, group) =>
    indices.slice(group * capacity, group * capacity + (counts[group] ?? 0)),
  );
  return selection.sets;
}

/** By position, the head that put its unit into the merge; -1: none did. */
function headsOf(positions: Uint32Array, { unit }: MergeRecord, { headOf }: MergedHeads): Int16Array {
  return Int16Array.from(positions, (position) => headOf.get(Math.floor(position / unit)) ?? -1);
}

/** Always-kept units as tokens of a sequence. */
function endsOf({ ends, endsUnit }: RecordedSelection, length: number): SelectionEnds {
  const recentFrom = Math.max(0, Math.ceil(length / endsUnit) - ends.recent) * endsUnit;
  return { sinks: Math.min(length, ends.sinks * endsUnit), recent: Math.max(0, length - recentFrom) };
}

/** Softmax with sums in f64, in place. */
function softmax(logits: Float32Array): Float32Array {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > largest) largest = logit;
  let mass = 0;
  for (const logit of logits) mass += Math.exp(logit - largest);
  return logits.map((logit) => Math.exp(logit - largest) / mass);
}
