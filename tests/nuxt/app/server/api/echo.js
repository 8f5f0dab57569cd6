export default defineEventHandler(async (event) => {
  setResponseHeader(event, 'content-type', 'application/x-test');
  return (await readRawBody(event, false)) ?? '';
});
