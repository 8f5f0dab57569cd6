import { isBroken, renderMarker } from '../../../lib/render';
import Version from './version';

// Nothing but a deployment renews it while a test runs.
export const revalidate = 3600;

export function generateStaticParams() {
  return [{ slug: 'built' }];
}

export default async function Versioned({ params }) {
  const { slug } = await params;
  if (isBroken()) throw new Error('the break switch is on');
  return (
    <article>
      <p id="render">{renderMarker(slug)}</p>
      <Version />
    </article>
  );
}
