/** @type {import('next').NextConfig} */
export default {
  // The nearest lockfile is this one, whatever lies in the folders above.
  turbopack: { root: import.meta.dirname },
  outputFileTracingRoot: import.meta.dirname,
};
