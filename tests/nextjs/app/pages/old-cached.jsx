import { renderMarker } from '../lib/render';

export function getServerSideProps({ res }) {
  res.setHeader('Cache-Control', 'public, s-maxage=2, stale-while-revalidate=60');
  return { props: { render: renderMarker('old-cached') } };
}

export default function OldCached({ render }) {
  return <p id="render">{render}</p>;
}
