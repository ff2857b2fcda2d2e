/** The demo page on hosts and in browsers that lack something: headers, a network, storage, a free tab; and with models of one's own. */
import { readFileSync } from "node:fs";
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { testModel } from "../../scripts/fetch-test-models.mjs";
import { boxedAnswer, goldens, lastAnswer, launchOptions, PageTrial, ready, send } from "./page-trial.ts";
