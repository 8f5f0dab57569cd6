import { draftMode } from 'next/headers';
import { notFound } from 'next/navigation';
import Link from 'next/link';
import { isBroken, renderMarker, sleep } from '../../../lib/render';

export const revalidate = 2;
export const dynamicParams = true;

export function generateStaticParams() {
  return [{ slug: 'hello' }, { slug: 'world' }];
}

export default async function Post({ params }) {
  const { slug } = await params;
  if (isBroken()) throw new Error('the break switch is on');
  if (slug === 'missing') notFound();
  if (slug.startsWith('slow')) await sleep(1500);
  return (
    <article>
      <h1>{slug}</h1>
      <p id="render">{renderMarker(slug)}</p>
      <p id="version">{(await draftMode()).isEnabled ? 'version:draft' : 'version:published'}</p>
      <Link href="/blog/world">next post</Link>
    </article>
  );
}
