export const dynamic = 'force-static';

export default function Gated() {
  return <p id="secret">members only secret</p>;
}
