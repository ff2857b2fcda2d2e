/** Labels beside points, where they hide neither points nor each other. */
export interface LabelledPoint {
  /** Centre of the point in pixels. */
  readonly at: readonly [x: number, y: number];
  /** Empty for a point without a label. */
  readonly text: string;
}

export interface PlacedLabel {
  /** Empty if there is no room. */
  readonly text: string;
  /** From the point to the middle of the text, in pixels. */
  readonly dx: number;
  readonly dy: number;
}

export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const CHARACTER = 6;
const HEIGHT = 12;
const RADIUS = 5.5;

/** Tries eight places around each point, in order of points; a label without a free place in the frame is left out. */
export function placeLabels(points: readonly LabelledPoint[], frame: Box): PlacedLabel[] {
  const taken: Box[] = points.map(({ at: [x, y] }) =>
    boxAround(x, y, { width: 2 * RADIUS, height: 2 * RADIUS }),
  );
  return points.map(({ at: [x, y], text }) => {
    const width = CHARACTER * text.length + 2;
    const besides = RADIUS + 2 + width / 2;
    const above = RADIUS + 3 + HEIGHT / 2;
    // Lines of a series and bars of intervals go sideways and upright through a point: corners are free of them.
    const [aside, off] = [besides - 3, above - 2];
    const places = [
      ...[
        [aside, off],
        [aside, -off],
        [-aside, off],
        [-aside, -off],
      ],
      ...[
        [besides, 0],
        [-besides, 0],
        [0, -above],
        [0, above],
      ],
    ] as const;
    for (const [dx = 0, dy = 0] of text === "" ? [] : places) {
      const box = boxAround(x + dx, y + dy, { width, height: HEIGHT });
      if (!isInside(box, frame) || taken.some((other) => overlaps(box, other))) continue;
      taken.push(box);
      return { text, dx, dy };
    }
    return { text: "", dx: 0, dy: 0 };
  });
}

function boxAround(x: number, y: number, { width, height }: { width: number; height: number }): Box {
  return { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 };
}

function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function isInside(box: Box, frame: Box): boolean {
  return (
    box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom
  );
}
