import Link from 'next/link';

const paths = ['/blog/hello', '/blog/world', '/me', '/gated', '/login', '/stream', '/picture', '/old/1', '/old-ssr', '/old-cached'];

export default function Home() {
  return (
    <>
      <h1>Larder fixture</h1>
      <ul>
        {paths.map((path) => (
          <li key={path}>
            <Link href={path}>{path}</Link>
          </li>
        ))}
      </ul>
    </>
  );
}
