// Says which render this is: when it was made, and its number in this process.
export default defineEventHandler(async (event) => {
  const slug = getRouterParam(event, 'slug');
  if (slug === 'missing') throw createError({ statusCode: 404 });
  if (renders.broken) throw createError({ statusCode: 500, message: 'renders are broken for now' });
  await new Promise((resolve) => setTimeout(resolve, 100));
  renders.count += 1;
  return { render: `render:${slug}:${Date.now()}:${renders.count}` };
});
