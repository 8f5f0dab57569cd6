import { isBroken, setBroken } from '../../../lib/render';

export const dynamic = 'force-dynamic';

// While on, every render below /blog and /tagged throws.
export function GET(request) {
  setBroken(new URL(request.url).searchParams.get('on') === '1');
  return Response.json({ broken: isBroken() }, { headers: { 'cache-control': 'no-store' } });
}
