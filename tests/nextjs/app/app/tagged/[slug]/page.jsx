import { unstable_cache } from 'next/cache';
import { isBroken, renderMarker } from '../../../lib/render';

// Nothing but an invalidation renews it while a test runs.
export const revalidate = 3600;

export function generateStaticParams() {
  return [{ slug: 'built' }];
}

export default async function Tagged({ params }) {
  const { slug } = await params;
  if (isBroken()) throw new Error('the break switch is on');
  const read = unstable_cache(async () => `data:${slug}:${Date.now()}`, ['tagged', slug], { tags: ['items', `item:${slug}`] });
  return (
    <article>
      <p id="data">{await read()}</p>
      <p id="render">{renderMarker(slug)}</p>
    </article>
  );
}
