// State of this server process, shared by every route of both routers.
const state = (globalThis.__larderFixture ??= { renders: 0, broken: false });

/** A text that names one render: no two renders ever give the same. */
export function renderMarker(name) {
  state.renders += 1;
  return `render:${name}:${Date.now()}:${state.renders}`;
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
