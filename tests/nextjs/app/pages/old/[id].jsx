import { renderMarker } from '../../lib/render';

export function getStaticPaths() {
  return { paths: [{ params: { id: '1' } }], fallback: 'blocking' };
}

export function getStaticProps({ params }) {
  return { props: { id: params.id, render: renderMarker(params.id) }, revalidate: 2 };
}

export default function Old({ id, render }) {
  return (
    <main>
      <h1>{`old ${id}`}</h1>
      <p id="render">{render}</p>
    </main>
  );
}
