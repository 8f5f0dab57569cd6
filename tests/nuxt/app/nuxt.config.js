// One rule for each way in which Nitro speaks of caching; the window is two seconds everywhere.
export default defineNuxtConfig({
  compatibilityDate: '2025-07-15',
  telemetry: false,
  devtools: { enabled: false },
  sourcemap: false,
  routeRules: {
    '/': { prerender: true },
    // Kept by Nitro too, which does not say when an answer of its own is past its window.
    '/swr/**': { swr: 2 },
    '/swr-cookie/**': { swr: 2 },
    // Does nothing on a Node server: without a route of Larder's, every visit renders.
    '/isr/**': { isr: 2 },
    // The same words as `swr`, without Nitro's own cache.
    '/said/**': { headers: { 'cache-control': 's-maxage=2, stale-while-revalidate' } },
    '/cdn/**': { headers: { 'cdn-cache-control': 'max-age=2, stale-while-revalidate=600', 'cache-control': 'no-cache' } },
  },
});
