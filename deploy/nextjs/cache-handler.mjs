// The cache handler for `next.config`: README.md says how. What it does is in handler.mjs.
//
// Next.js also puts this file into what it builds for the edge runtime, where Node.js' modules are missing. Nothing asks
// it there: in `next start` the edge runtime uses the cache of the process around it.
const { default: LarderCacheHandler, withLarder } = process.env.NEXT_RUNTIME === 'edge'
  ? { withLarder: (Handler) => Handler }
  : await import('./handler.mjs');

export default LarderCacheHandler;
export { withLarder };
