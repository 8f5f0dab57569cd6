import { revalidateTag } from 'next/cache';

// The cache handler is also built for this runtime, where Node.js' modules are missing.
export const runtime = 'edge';

export function GET(request) {
  const tag = new URL(request.url).searchParams.get('tag');
  revalidateTag(tag, { expire: 0 });
  return Response.json({ tag }, { headers: { 'cache-control': 'no-store' } });
}
