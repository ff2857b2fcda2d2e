import type { WeightFormat } from "../../base/weight-format.ts";
import type { WebGpuWeight, WeightSlice } from "./refs.ts";

/** One product of a dispatch: out[:, out + row] (+)= W[row] · x (+ bias). */
export interface Product {
  readonly weight: WebGpuWeight;
  /** Column of its first output. */
  readonly out: number;
  readonly bias?: WebGpuWeight | undefined;
}

/** Rows of one product in one slab. */
export interface Section {
  readonly slice: WeightSlice;
  readonly out: number;
  /** First element of the bias + 1; 0 without a bias. */
  readonly bias: number;
  readonly format: WeightFormat;
  /** 16-byte vectors of a row. */
  readonly stride: number;
  readonly cols: number;
}

/** Maximum sections of a matrix-vector kernel. */
const MAX_SECTIONS = 3;

/** Sections of the products in groups that one dispatch can reach: the same buffer and format, at most three. */
export function groupSections(products: readonly Product[]): Section[][] {
  const groups: Section[][] = [];
  for (const section of products.flatMap(sectionsOf)) {
    const last = groups[groups.length - 1];
    const head = last?.[0];
    const isNear = head?.slice.slab === section.slice.slab && head?.format === section.format;
    if (last && isNear && last.length < MAX_SECTIONS) last.push(section);
    else groups.push([section]);
  }
  return groups;
}

/** Two products of the same rows, such as gate and up, section by section; split at the slab boundaries of both. */
export function pairSections(first: Product, second: Product): (readonly [Section, Section])[] {
  const pairs: (readonly [Section, Section])[] = [];
  for (const one of sectionsOf(first))
    for (const other of sectionsOf(second)) {
      const from = Math.max(one.slice.firstRow, other.slice.firstRow);
      const to = Math.min(one.slice.firstRow + one.slice.rows, other.slice.firstRow + other.slice.rows);
      if (from < to) pairs.push([cut(one, from, to), cut(other, from, to)]);
    }
  return pairs;
}

const NO_ROWS = { first_vector: 0, rows: 0, out: 0, bias: 0 };

/** The parameters of a matrix-vector kernel that locate up to three sections. */
export function sectionParams([first, second, third]: readonly Section[]) {
  return {
    first: first ? wordsOf(first) : NO_ROWS,
    second: second ? wordsOf(second) : NO_ROWS,
    third: third ? wordsOf(third) : NO_ROWS,
  };
}

/** Fields of the struct Section of matvec-core.wgsl. */
export function wordsOf({ slice, out, bias }: Section) {
  return { first_vector: slice.offset / 16, rows: slice.rows, out, bias };
}

function sectionsOf({ weight, out, bias }: Product): Section[] {
  return weight.slices.map((slice) => ({
    slice,
    out: out + slice.firstRow,
    bias: bias ? bias.vector + slice.firstRow + 1 : 0,
    format: weight.format,
    stride: weight.stride,
    cols: weight.cols,
  }));
}

function cut(section: Section, from: number, to: number): Section {
  const { slice } = section;
  const skipped = from - slice.firstRow;
  return {
    ...section,
    out: section.out + skipped,
    slice: {
      ...slice,
      firstRow: from,
      rows: to - from,
      offset: slice.offset + skipped * section.stride * 16,
    },
  };
}
