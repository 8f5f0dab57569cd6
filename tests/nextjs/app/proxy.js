// What Next.js called middleware until version 15. It guards a page that is static,
// so the page's own headers say "public, a year": only the guard knows that it is not.
import { NextResponse } from 'next/server';

export function proxy(request) {
  if (request.cookies.get('session')?.value === 'member') return NextResponse.next();
  return NextResponse.redirect(new URL('/login', request.url), 307);
}

export const config = { matcher: '/gated' };
