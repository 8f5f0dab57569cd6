import { Suspense } from 'react';
import { connection } from 'next/server';
import { renderMarker, sleep } from '../../lib/render';

async function Late() {
  await sleep(600);
  return <p id="late">{renderMarker('late')}</p>;
}

export default async function Stream() {
  await connection();
  return (
    <>
      <h1>stream</h1>
      <Suspense fallback={<p id="fallback">still cooking</p>}>
        <Late />
      </Suspense>
    </>
  );
}
