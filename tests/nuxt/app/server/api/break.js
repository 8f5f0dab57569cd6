// Makes every render throw, or work again: /api/break?on=1
export default defineEventHandler((event) => {
  renders.broken = getQuery(event).on === '1';
  return { broken: renders.broken };
});
