import { revalidatePath } from 'next/cache';

export const dynamic = 'force-dynamic';

export function GET(request) {
  const path = new URL(request.url).searchParams.get('path');
  if (!path?.startsWith('/')) return Response.json({ error: 'path missing' }, { status: 400 });
  revalidatePath(path);
  return Response.json({ revalidated: path }, { headers: { 'cache-control': 'no-store' } });
}
