import { sleep } from '../../../lib/render';

export const dynamic = 'force-dynamic';

export function GET() {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async start(controller) {
      for (let event = 1; event <= 3; event += 1) {
        if (event > 1) await sleep(300);
        controller.enqueue(encoder.encode(`id: ${event}\ndata: event ${event}\n\n`));
      }
      controller.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' } });
}
