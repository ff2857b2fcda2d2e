/** Whatever the schema, an output that its constraint allows is JSON that an independent validator accepts. */
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { expect, it } from "vitest";
import { RequestError } from "../../src/base/errors.ts";
import { RandomSchemas } from "./random-schemas.ts";
import { byteTokenizer, openVocabulary, randomFrom, startTrial, type Trial, walk } from "./trial.ts";

const texts = [
  '{"',
  '":',
  ', "',
  '"}',
  "true",
  "null",
  " \n",
  '": "',
  "12",
  "é",
  "😀",
  "\\u00",
  '"]',
  '"a"',
  '"b"',
];
const vocabulary = await openVocabulary(byteTokenizer(texts));

/** Opens a schema; undefined if it is refused. */
function tryOpen(schema: object): Trial | undefined {
  try {
    return startTrial({ schema }, vocabulary);
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    return undefined;
  }
}

it("writes what a random schema accepts", () => {
  const random = randomFrom(14);
  const schemas = new RandomSchemas(random);
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  let numOpened = 0;
  for (let i = 0; i < 150; i++) {
    const schema = schemas.next();
    const trial = tryOpen(schema);
    if (!trial) continue;
    numOpened++;
    const isValid = ajv.compile(schema);
    for (let j = 0; j < 2; j++) {
      const text = walk(trial, random);
      if (!isValid(JSON.parse(text)))
        throw new Error(
          `${JSON.stringify(schema)} does not accept ${text}: ${ajv.errorsText(isValid.errors)}`,
        );
    }
  }
  expect(numOpened).toBeGreaterThan(90);
});
