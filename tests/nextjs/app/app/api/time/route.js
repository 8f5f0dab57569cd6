import { renderMarker } from '../../../lib/render';

export const dynamic = 'force-dynamic';

export function GET() {
  return Response.json({ time: renderMarker('time') }, { headers: { 'cache-control': 'no-store' } });
}
