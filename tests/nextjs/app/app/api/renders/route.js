import { rendersOf } from '../../../lib/render';

export const dynamic = 'force-dynamic';

// How often this process has rendered what is called ?name=.
export function GET(request) {
  const renders = rendersOf(new URL(request.url).searchParams.get('name'));
  return Response.json({ renders }, { headers: { 'cache-control': 'no-store' } });
}
