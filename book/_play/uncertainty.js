// Averages, the two parts of doubt and the cheapest action, as companion.uncertainty computes them.

/** Average probabilities, one list for each draw, over the draws. */
export function average(draws) {
  const found = new Float64Array(draws[0].length);
  for (const p of draws) for (let c = 0; c < found.length; c++) found[c] += p[c] / draws.length;
  return found;
}

/** Compute the entropy of probabilities, in nats. */
export function entropy(p) {
  return -p.reduce((sum, q) => sum + (q > 0 ? q * Math.log(q) : 0), 0);
}

/** Split the predictive entropy into expected entropy (aleatoric) and mutual information (epistemic), in nats. */
export function decompose(draws) {
  const total = entropy(average(draws));
  const aleatoric = draws.reduce((sum, p) => sum + entropy(p), 0) / draws.length;
  return { total, aleatoric, epistemic: total - aleatoric };
}

/** Answer, or ask a person: whichever is expected to cost less, where a mistake costs 1 and asking `cost`. */
export function decide(p, cost) {
  const answer = p.indexOf(Math.max(...p));
  const risk = 1 - p[answer];
  return { answer, risk, ask: risk > cost };
}
