import { renderMarker } from '../../../lib/render';

// Long enough for a page to be young for a while, and short enough for a test to see it idle.
export const revalidate = 5;

export function generateStaticParams() {
  return [{ slug: 'built' }];
}

export default async function Idle({ params }) {
  const { slug } = await params;
  return <p id="render">{renderMarker(slug)}</p>;
}
