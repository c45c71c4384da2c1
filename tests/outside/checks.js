// Counts what a scenario claims; prints each claim and, last, `N passed, M failed`. Used by the JavaScript scenarios.
"use strict";
const { isDeepStrictEqual, inspect } = require("node:util");

/** What the twin printed when it started: its addresses and credentials. */
const TWIN = JSON.parse(process.env.TWIN);

const began = Date.now();
let passed = 0;
let failed = 0;

/** One claim; `seen` is shown when it does not hold. */
function check(claim, holds, seen) {
  const at = `${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s`;
  if (holds) passed += 1;
  else failed += 1;
  console.log(holds ? `  ok      ${at}  ${claim}` : `  FAILED  ${at}  ${claim}: ${inspect(seen, { depth: 6 })}`);
}

/** The claim that two values are the same. */
function equal(claim, seen, wanted) {
  check(claim, isDeepStrictEqual(seen, wanted), { seen, wanted });
}

/** Runs the scenario, prints the sum and leaves; a scenario without claims has not passed. */
function run(scenario) {
  scenario()
    .catch((error) => check("the scenario runs to its end", false, error))
    .finally(() => {
      console.log(`${passed} passed, ${failed} failed`);
      process.exit(passed && !failed ? 0 : 1);
    });
}

module.exports = { TWIN, check, equal, run };
