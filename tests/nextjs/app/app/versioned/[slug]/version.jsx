'use client';

// Inlined when the app is built: so its chunk is another one in every version.
export default function Version() {
  return <p id="app">{`app:${process.env.NEXT_PUBLIC_VERSION ?? 'first'}`}</p>;
}
