import { cookies } from 'next/headers';

export default async function Me() {
  const user = (await cookies()).get('user')?.value ?? 'anonymous';
  return <p id="user">{`user:${user}`}</p>;
}
