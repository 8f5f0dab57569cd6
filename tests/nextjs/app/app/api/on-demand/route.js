import { revalidatePath, revalidateTag } from 'next/cache';

export const dynamic = 'force-dynamic';

// What an app calls when its data has changed: ?tag=T, with &profile=max or without, or ?path=P, with &type=page.
export function GET(request) {
  const asked = Object.fromEntries(new URL(request.url).searchParams);
  if (asked.tag) revalidateTag(asked.tag, asked.profile ?? { expire: 0 });
  if (asked.path) revalidatePath(asked.path, asked.type);
  return Response.json(asked, { headers: { 'cache-control': 'no-store' } });
}
