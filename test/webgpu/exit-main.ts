/** A program for dawn.test.ts: uses a device, destroys it, and ends without a call of `process.exit`. */
import { openDawn } from "../../src/node/dawn.ts";
import { sumWithSubgroups } from "./subgroup-sum.ts";

const { sum } = await sumWithSubgroups(await openDawn());
console.log(sum);
