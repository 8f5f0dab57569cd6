import { renderMarker } from '../../lib/render';

export function getStaticPaths() {
  return { paths: [], fallback: 'blocking' };
}

// Nothing but `res.revalidate` renews it while a test runs.
export function getStaticProps({ params }) {
  return { props: { render: renderMarker(params.id) }, revalidate: 3600 };
}

export default function Kept({ render }) {
  return <p id="render">{render}</p>;
}
