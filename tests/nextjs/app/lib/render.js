// State of this server process, shared by every route of both routers.
const state = (globalThis.__larderFixture ??= { renders: 0, broken: false, rendersOf: new Map() });

/** A text that names one render: no two renders ever give the same. */
export function renderMarker(name) {
  state.renders += 1;
  state.rendersOf.set(name, rendersOf(name) + 1);
  return `render:${name}:${Date.now()}:${state.renders}`;
}

/** How many markers of that name this process has made. */
export function rendersOf(name) {
  return state.rendersOf.get(name) ?? 0;
}

export function isBroken() {
  return state.broken;
}

export function setBroken(broken) {
  state.broken = broken;
}

export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
