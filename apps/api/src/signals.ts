/** A second signal sooner than this is the same one, sent to a whole process group and by a parent too. */
const secondSignalMs = 1000;

let stop = (): void => {
  // Before anything is served there is nothing to see through.
  process.exit(0);
};
let first: number | null = null;

function received(): void {
  if (first !== null && performance.now() - first >= secondSignalMs) process.exit(1);
  if (first !== null) return;
  first = performance.now();
  stop();
}

process.on('SIGTERM', received);
process.on('SIGINT', received);

/** From now on the first signal calls this; a later one ends the process at once. */
export function onFirstSignal(act: () => void): void {
  stop = act;
}
