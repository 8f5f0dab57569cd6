// The requests that the App Router's client makes. Next.js answers one whose `_rsc` is not the
// hash of its router fields with a redirect to the hash that it expects.
import { createHash } from 'node:crypto';

/**
 * @param prefetch `Next-Router-Prefetch`: '1', '2' or '3'
 * @param segment `Next-Router-Segment-Prefetch`: '/_tree', or a segment's path
 * @param tree `Next-Router-State-Tree`, encoded
 * @param url `Next-Url`: the path of the page that the visitor is on
 */
export function rscHeaders({ prefetch, segment, tree, url } = {}) {
  const headers = { rsc: '1' };
  if (prefetch !== undefined) headers['next-router-prefetch'] = prefetch;
  if (segment !== undefined) headers['next-router-segment-prefetch'] = segment;
  if (tree !== undefined) headers['next-router-state-tree'] = tree;
  if (url !== undefined) headers['next-url'] = url;
  if (Object.keys(headers).length === 1) return { headers, query: '_rsc' };
  const input = [prefetch, segment, tree, url].map((value) => value ?? '0').join(',');
  const hash = createHash('sha256').update(input).digest().subarray(0, 12).toString('base64url');
  return { headers, query: `_rsc=${hash}` };
}
