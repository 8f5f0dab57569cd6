import { draftMode } from 'next/headers';

export const dynamic = 'force-dynamic';

// As an editor's "preview" button does: the answer sets Next.js' own cookie.
export async function GET() {
  (await draftMode()).enable();
  return Response.json({ draft: true }, { headers: { 'cache-control': 'no-store' } });
}
